"""What a .tflite file is made of: its tensors, its operators, and whether it is all integer."""

from __future__ import annotations

import functools
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tftune.errors import ExportError, did_you_mean_path

_FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")


@dataclass(frozen=True)
class Tensor:
    """One tensor of the first subgraph.

    Attributes:
        name: as the converter wrote it.
        dtype: such as "FLOAT32" or "INT8".
        shape: its shape.
        shape_signature: the same with -1 for sides that may change.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]


@dataclass(frozen=True)
class Operator:
    """One operator of the first subgraph.

    Attributes:
        name: such as "CONV_2D"; a custom operator's own name, such as "FlexRegexReplace".
        custom: whether it is not built into LiteRT.
        dtypes: the types of its inputs and outputs.
        output: the name of its first output.
    """

    name: str
    custom: bool
    dtypes: tuple[str, ...]
    output: str

    @property
    def is_float(self) -> bool:
        """Whether it reads or writes floating-point numbers."""
        return any(dtype in _FLOATS for dtype in self.dtypes)


@dataclass(frozen=True)
class TfliteContents:
    """The first subgraph of a .tflite file.

    Attributes:
        inputs: in the file's order, which need not be the order they were declared in.
        outputs: in the file's order.
        operators: in the order they run.
        tensors: all of them, weights included.
        output_names: the name of each output in the file's signature; empty strings without one.
        input_names: the same of each input.
        num_subgraphs: how many subgraphs there are.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    output_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    num_subgraphs: int = 1

    @property
    def float_operators(self) -> tuple[Operator, ...]:
        """The operators that compute with floating-point numbers."""
        return tuple(operator for operator in self.operators if operator.is_float)

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of operator occurs, most frequent first."""
        return dict(Counter(operator.name for operator in self.operators).most_common())


def read_tflite(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file.

    Raises:
        ExportError: if it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ExportError(
            f"{str(path)!r} cannot be read: {error.strerror}.{did_you_mean_path(path)}"
        ) from error


def inspect_tflite(content: bytes) -> TfliteContents:
    """Read the graph of a .tflite file without running it.

    Args:
        content: the file's content.

    Returns:
        Its inputs, outputs, operators and tensors.

    Raises:
        ExportError: if it is not a .tflite file.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ExportError("This is not a .tflite file: its identifier 'TFL3' is missing.")
    try:
        model = schema.Model.GetRootAsModel(content, 0)
        graph = model.Subgraphs(0)
        tensors = tuple(_tensor(graph.Tensors(i)) for i in range(graph.TensorsLength()))
        ins, outs = _signature_names(model)
        return TfliteContents(
            inputs=tuple(tensors[graph.Inputs(i)] for i in range(graph.InputsLength())),
            outputs=tuple(tensors[graph.Outputs(i)] for i in range(graph.OutputsLength())),
            operators=tuple(
                _operator(model, graph.Operators(i), tensors)
                for i in range(graph.OperatorsLength())
            ),
            tensors=tensors,
            output_names=tuple(
                outs.get(graph.Outputs(i), "") for i in range(graph.OutputsLength())
            ),
            num_subgraphs=model.SubgraphsLength(),
            input_names=tuple(ins.get(graph.Inputs(i), "") for i in range(graph.InputsLength())),
        )
    except Exception as error:
        # A damaged flatbuffer makes the reader fail anywhere, with struct.error or others.
        raise ExportError(f"This .tflite file is damaged: {error}.") from error


def prove_integer(contents: TfliteContents) -> None:
    """Raise unless a file computes with integers alone.

    The converter keeps operators it cannot quantize in floating point without a word
    (tensorflow#57619), so the claim is checked on what it wrote.

    Args:
        contents: the file.

    Raises:
        ExportError: naming the operators that compute with floating-point numbers.
    """
    floats = contents.float_operators
    if floats:
        named = ", ".join(f"{operator.name} ({operator.output})" for operator in floats[:5])
        more = f" and {len(floats) - 5} more" if len(floats) > 5 else ""
        raise ExportError(
            f"The file is not all integer: {len(floats)} of {len(contents.operators)} operators "
            f"compute in floating point: {named}{more}. Use `quantize='dynamic'` or 'float16', or "
            "a backbone that `tftune backbones` marks as fit for int8."
        )


def _signature_names(model) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of the inputs and of the outputs by the place of their tensor."""
    if not model.SignatureDefsLength():
        return {}, {}
    signature = model.SignatureDefs(0)
    inputs = [signature.Inputs(i) for i in range(signature.InputsLength())]
    outputs = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    ins, outs = ({e.TensorIndex(): e.Name().decode() for e in ends} for ends in (inputs, outputs))
    return ins, outs


def _tensor(tensor) -> Tensor:
    shape = tuple(int(side) for side in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    has_signature = tensor.ShapeSignatureLength() > 0
    signature = tuple(int(s) for s in tensor.ShapeSignatureAsNumpy()) if has_signature else shape
    return Tensor(tensor.Name().decode(), _type_names()[tensor.Type()], shape, signature)


def _operator(model, operator, tensors: tuple[Tensor, ...]) -> Operator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _operator_names()[number]
    custom = name == "CUSTOM"
    places = [operator.Inputs(i) for i in range(operator.InputsLength())]
    places += [operator.Outputs(i) for i in range(operator.OutputsLength())]
    return Operator(
        name=code.CustomCode().decode() if custom else name,
        custom=custom,
        dtypes=tuple(tensors[place].dtype for place in places if place >= 0),
        output=tensors[operator.Outputs(0)].name if operator.OutputsLength() else "",
    )


@functools.cache
def _operator_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return _names(schema.BuiltinOperator)


@functools.cache
def _type_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return _names(schema.TensorType)


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}
