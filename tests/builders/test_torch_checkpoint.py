"""The checkpoint reader: what it reads, what it refuses, and that it never executes anything."""

import copyreg
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tftune.builders.torch_checkpoint import read_torch_checkpoint
from tftune.errors import WeightsError

STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
HEADER = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2),
    pickle.dumps(1001, 2),
    pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2),
)
ORDERED_DICT = b"ccollections\nOrderedDict\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def fragment(value):
    """The opcodes of one value, to be set inside a larger pickle."""
    return pickle.dumps(value, 2)[2:-1]


def whole(opcodes):
    return b"\x80\x02" + opcodes + b"."


def storage_opcodes(key, count, kind="FloatStorage"):
    described = fragment(key) + fragment("cpu") + fragment(count) + fragment(None)
    return b"(" + fragment("storage") + b"ctorch\n" + kind.encode() + b"\n" + described + b"tQ"


def tensor_opcodes(size, stride, offset=0, key="0", count=12, kind="FloatStorage"):
    placed = fragment(offset) + fragment(size) + fragment(stride) + fragment(False)
    storage = storage_opcodes(key, count, kind)
    return REBUILD + b"(" + storage + placed + ORDERED_DICT + b")RtR"


def state_dict_opcodes(tensors):
    items = b"".join(fragment(name) + opcodes for name, opcodes in tensors.items())
    return ORDERED_DICT + b")R(" + items + b"u"


def checkpoint(state_dict, storages, header=HEADER, keys=None):
    """The bytes of a checkpoint of hand-written opcodes and the raw arrays behind them."""
    keys = pickle.dumps(list(storages), 2) if keys is None else keys
    raw = b"".join(struct.pack("<q", a.size) + a.tobytes() for a in storages.values())
    return b"".join(header) + whole(state_dict) + keys + raw


def one_tensor(size, stride, offset=0, data=None):
    data = np.arange(12, dtype="<f4") if data is None else data
    opcodes = tensor_opcodes(size, stride, offset, count=data.size)
    return checkpoint(state_dict_opcodes({"w": opcodes}), {"0": data})


def read(folder, content):
    path = folder / "checkpoint.pth"
    path.write_bytes(content)
    return read_torch_checkpoint(path)


@pytest.mark.parametrize("kind", STORAGES)
def test_every_storage_class_is_read_with_its_own_dtype(tmp_path, kind):
    data = np.array([0, 1, 1, 0], STORAGES[kind])
    opcodes = tensor_opcodes((4,), (1,), count=4, kind=kind)
    array = read(tmp_path, checkpoint(state_dict_opcodes({"w": opcodes}), {"0": data}))["w"]
    assert array.dtype == data.dtype
    np.testing.assert_array_equal(array, data)


def test_tensors_keep_the_order_of_the_file_and_own_their_data(tmp_path):
    tensors = {
        "b": tensor_opcodes((2, 3), (3, 1)),
        "a": tensor_opcodes((), (), offset=7),
        "empty": tensor_opcodes((0, 3), (3, 1)),
        "shared": tensor_opcodes((6,), (1,)),
    }
    read_back = read(
        tmp_path, checkpoint(state_dict_opcodes(tensors), {"0": np.arange(12, dtype="<f4")})
    )
    assert list(read_back) == ["b", "a", "empty", "shared"]
    assert read_back["a"] == 7.0
    assert read_back["empty"].shape == (0, 3)
    read_back["b"][:] = -1
    np.testing.assert_array_equal(read_back["shared"], np.arange(6))


def test_only_the_tensors_asked_for_are_read(tmp_path):
    tensors = {
        "a": tensor_opcodes((2,), (1,), key="0"),
        "b": tensor_opcodes((12,), (1,), key="1"),
        "c": tensor_opcodes((3,), (1,), offset=9, key="0"),
    }
    storages = {"0": np.arange(12, dtype="<f4"), "1": np.arange(12, 24, dtype="<f4")}
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(checkpoint(state_dict_opcodes(tensors), storages))
    whole_file = read_torch_checkpoint(path)
    np.testing.assert_array_equal(whole_file["b"], np.arange(12, 24))
    part = read_torch_checkpoint(path, ("c", "b", "other"))
    assert list(part) == ["b", "c"]
    np.testing.assert_array_equal(part["c"], [9, 10, 11])
    np.testing.assert_array_equal(part["b"], whole_file["b"])


def test_a_file_is_in_memory_once(tmp_path):
    count = 250_000
    names = [str(number) for number in range(8)]
    tensors = {n: tensor_opcodes((count,), (1,), key=n, count=count) for n in names}
    storages = {n: np.full(count, float(n), "<f4") for n in names}
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(checkpoint(state_dict_opcodes(tensors), storages))
    del storages
    tracemalloc.start()
    try:
        read_torch_checkpoint(path, names[3:4])
        one = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        arrays = read_torch_checkpoint(path)
        everything = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert arrays["3"][0] == 3.0
    # A storage and its copy, of a megabyte each; the eight copies and one more storage.
    assert one < 2.2e6 and everything < 9.5e6


def test_the_metadata_that_torch_attaches_to_a_state_dict_is_passed_over(tmp_path):
    opcodes = state_dict_opcodes({"w": tensor_opcodes((12,), (1,))})
    opcodes += fragment({"_metadata": {"": {"version": 1}}}) + b"b"
    assert list(read(tmp_path, checkpoint(opcodes, {"0": np.zeros(12, "<f4")}))) == ["w"]


@given(data=st.data())
@settings(max_examples=60)
def test_any_sliced_and_transposed_view_is_read_as_numpy_sees_it(tmp_path_factory, data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    base = np.arange(np.prod(shape), dtype="<f4").reshape(shape)
    view = base[tuple(slice(data.draw(st.integers(0, n - 1)), None) for n in shape)]
    view = view.transpose(data.draw(st.permutations(range(view.ndim))))
    offset = (view.ctypes.data - base.ctypes.data) // 4
    stride = tuple(step // 4 for step in view.strides)
    content = one_tensor(view.shape, stride, offset, base.ravel())
    array = read(tmp_path_factory.mktemp("view"), content)["w"]
    assert array.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(array, view)


class Attack:
    """Unpickles into a shell command that leaves a file behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'echo harm > "{self.marker}"',)


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_shell_command_hidden_in_any_of_the_five_pickles_does_not_run(
    tmp_path, position, protocol
):
    marker = tmp_path / "harm"
    attack = pickle.dumps(Attack(marker), protocol)
    pickles = [*HEADER, whole(state_dict_opcodes({})), pickle.dumps([], 2)]
    pickles[position] = attack
    with pytest.raises(WeightsError, match=rf"forbidden global '{os.system.__module__}\.system'"):
        read(tmp_path, b"".join(pickles))
    assert not marker.exists()
    pickle.loads(attack)
    assert marker.exists(), "the attack itself must work, or its refusal proves nothing"


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "builtins.getattr",
        "collections.Counter",
        "numpy.core.multiarray._reconstruct",
        "torch._utils._rebuild_parameter",
        "torch.BFloat16Storage",
        "torch.load",
        "OrderedDict.collections",
    ],
)
def test_a_global_outside_the_allowed_few_is_refused_by_name(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    opcodes = state_dict_opcodes({"w": f"c{module}\n{attribute}\n".encode()})
    with pytest.raises(WeightsError, match=f"forbidden global '{name}'"):
        read(tmp_path, checkpoint(opcodes, {}))


@pytest.mark.parametrize("target", [REBUILD, b"ctorch\nFloatStorage\n", ORDERED_DICT])
@pytest.mark.parametrize("state", [{"__call__": 1}, (None, {"__call__": 1})])
def test_a_file_cannot_alter_what_it_is_given_for_the_next_file(tmp_path, target, state):
    opcodes = state_dict_opcodes({"w": target + fragment(state) + b"b"})
    with pytest.raises(WeightsError):
        read(tmp_path, checkpoint(opcodes, {}))
    np.testing.assert_array_equal(read(tmp_path, one_tensor((12,), (1,)))["w"], np.arange(12))


def test_a_global_reached_through_the_extension_registry_is_refused(tmp_path):
    copyreg.add_extension("builtins", "print", 240)
    try:
        extended = pickle.dumps(print, 2)
        assert pickle.loads(extended) is print  # now in the cache that bypasses find_class
        with pytest.raises(WeightsError, match="extension registry"):
            read(tmp_path, extended)
    finally:
        copyreg.remove_extension("builtins", "print", 240)


def test_a_memo_index_that_would_take_gigabytes_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="memo index"):
        read(tmp_path, whole(b"Nr\xff\xff\xff\x7f"))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((1,), (1,), 12),
        ((3, 4), (4, 2), 0),
        ((2,), (1 << 40,), 0),
        ((2,), (1 << 62,), 0),
        ((5,), (1 << 62,), 0),
        ((3,) * 32, (1 << 62,) * 32, 0),
    ],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(tmp_path, size, stride, offset):
    with pytest.raises(WeightsError, match=r"'w' reaches element \d+, out of the bounds"):
        read(tmp_path, one_tensor(size, stride, offset))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((2,), (-1,), 5),
        ((2,), (1,), -1),
        ((-2,), (1,), 0),
        ((1.5,), (1,), 0),
        ((1,), (1 << 64,), 0),
    ],
)
def test_negative_fractional_or_huge_dimensions_are_refused(tmp_path, size, stride, offset):
    with pytest.raises(WeightsError, match="must be non-negative integers"):
        read(tmp_path, one_tensor(size, stride, offset))


@pytest.mark.parametrize(("size", "stride"), [((2, 2), (1,)), ((1,) * 33, (1,) * 33)])
def test_unmatched_or_too_many_dimensions_are_refused(tmp_path, size, stride):
    with pytest.raises(WeightsError, match="one stride for each of at most 32 dimensions"):
        read(tmp_path, one_tensor(size, stride))


def test_a_number_too_long_to_print_is_refused_like_any_other(tmp_path):
    huge = 1 << 100_000
    for content in (
        pickle.dumps(huge, 2),
        one_tensor((huge,), (huge,)),
        checkpoint(state_dict_opcodes({"w": tensor_opcodes((1,), (1,), count=huge)}), {}),
    ):
        with pytest.raises(WeightsError):
            read(tmp_path, content)


def test_a_zero_stride_cannot_unfold_a_few_bytes_into_all_of_memory(tmp_path):
    with pytest.raises(WeightsError, match="is expanded"):
        read(tmp_path, one_tensor((1 << 40,), (0,)))


@pytest.mark.parametrize(("size", "stride"), [((1,), (1 << 62,)), ((0, 1 << 62), (1, 1))])
def test_a_shape_that_numpy_cannot_hold_is_refused(tmp_path, size, stride):
    with pytest.raises(WeightsError, match="impossible shape"):
        read(tmp_path, one_tensor(size, stride))


def test_every_truncation_of_a_checkpoint_is_refused(tmp_path):
    content = one_tensor((3, 4), (1, 3))
    for length in range(len(content)):
        with pytest.raises(WeightsError):
            read(tmp_path, content[:length])


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=300)
def test_a_damaged_byte_gives_arrays_or_a_weights_error_and_nothing_else(
    tmp_path_factory, position, value
):
    content = bytearray(one_tensor((3, 4), (1, 3)))
    content[position % len(content)] = value
    try:
        arrays = read(tmp_path_factory.mktemp("damaged"), content)
    except WeightsError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_storages_that_contradict_the_tensors_are_refused(tmp_path):
    opcodes = state_dict_opcodes({"w": tensor_opcodes((2,), (1,))})
    with pytest.raises(WeightsError, match="holds 11 elements and was declared with 12"):
        read(tmp_path, checkpoint(opcodes, {"0": np.zeros(11, "<f4")}))
    with pytest.raises(WeightsError, match="storage keys are not those"):
        read(tmp_path, checkpoint(opcodes, {"1": np.zeros(12, "<f4")}))
    with pytest.raises(WeightsError, match="not a list of names"):
        read(tmp_path, checkpoint(opcodes, {}, keys=pickle.dumps({"0": 1}, 2)))
    twice = {
        "v": tensor_opcodes((2,), (1,)),
        "w": tensor_opcodes((2,), (1,), kind="LongStorage"),
    }
    with pytest.raises(WeightsError, match="two different ways"):
        read(tmp_path, checkpoint(state_dict_opcodes(twice), {"0": np.zeros(12, "<f4")}))


def test_a_training_checkpoint_with_more_than_tensors_is_refused_by_its_entry(tmp_path):
    with pytest.raises(WeightsError, match="'epoch' is a int, not a tensor"):
        read(tmp_path, checkpoint(state_dict_opcodes({"epoch": fragment(3)}), {}))
    with pytest.raises(WeightsError, match="holds a list, not a mapping"):
        read(tmp_path, checkpoint(fragment([1]), {}))


def test_a_big_endian_checkpoint_is_refused(tmp_path):
    header = (*HEADER[:2], pickle.dumps({"little_endian": False}, 2))
    with pytest.raises(WeightsError, match="little-endian"):
        read(tmp_path, checkpoint(state_dict_opcodes({}), {}, header=header))


def test_other_files_are_refused_and_the_zip_format_is_named(tmp_path):
    archive = tmp_path / "new.pth"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("archive/data.pkl", b"")
    with pytest.raises(WeightsError, match="_use_new_zipfile_serialization=False"):
        read_torch_checkpoint(archive)
    for content in (b"", b"not a checkpoint at all", pickle.dumps({"weights": [1.0]})):
        with pytest.raises(WeightsError, match="`path` must be a legacy torch checkpoint"):
            read(tmp_path, content)
    with pytest.raises(WeightsError, match="No such file"):
        read_torch_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(WeightsError):
        read_torch_checkpoint(tmp_path)
