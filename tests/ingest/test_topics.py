from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.topic_table import TopicTable


def spans_of(topics: list[bytes]) -> tuple[bytes, np.ndarray]:
    ends = np.cumsum([len(t) for t in topics])
    return b"".join(topics), np.column_stack([ends - [len(t) for t in topics], ends]).astype(np.int32)


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=200))
def test_numbers_topics_in_order_of_first_sight(topics: list[bytes]) -> None:
    table = TopicTable()
    oracle: dict[bytes, int] = {}
    for topic in topics:
        data, spans = spans_of([topic])
        found, unknown = table.find(data, spans)
        assert unknown == (topic not in oracle)
        if unknown:
            oracle[topic] = table.add(topic)
        else:
            assert found[0] == oracle[topic]
    found, unknown = table.find(*spans_of(topics))
    assert unknown == 0
    assert found.tolist() == [oracle[t] for t in topics]
    assert sorted(oracle.values()) == list(range(len(oracle)))


def test_finds_nothing_in_an_empty_run() -> None:
    found, unknown = TopicTable().find(b"", np.empty((0, 4), np.int32))
    assert len(found) == 0
    assert unknown == 0
