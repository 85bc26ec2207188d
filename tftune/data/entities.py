"""Entities among tagged words: runs of tags such as B-PER I-PER."""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
"""The tag of words that belong to no entity."""

Entity = tuple[str, int, int]
"""Its type, and its first and its last word."""


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """Find the entities that the tags of a text describe.

    Tags are "O", or a prefix and a type: B (begins), I (inside), E (ends), S (alone) as in
    "B-PER", which covers IOB1, IOB2, IOE and IOBES. What a scheme does not allow, such as an I of
    another type than the word before it, begins an entity, as in conlleval and seqeval.

    Args:
        tags: one a word.

    Returns:
        Entities in the order of the words.

    References:
        Ramshaw and Marcus 1995, https://arxiv.org/abs/cmp-lg/9505040; the rule is that of seqeval
        in its default mode, https://github.com/chakki-works/seqeval.
    """
    found = []
    before, kind, begun = OUTSIDE, "", 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, own = tag[:1] or OUTSIDE, tag[1:].removeprefix("-") or "_"
        if before != OUTSIDE and (before in "ES" or prefix in "BSO" or own != kind):
            found.append((kind, begun, place - 1))
            before = OUTSIDE
        if prefix != OUTSIDE and before == OUTSIDE:
            begun = place
        before, kind = prefix, own
    return found
