"""However a stream of bars is cut, and wherever it is saved and restored, not a bit changes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from features.pipeline import FeaturePipeline
from tests.unit.features.feature_streams import every_feature, jumps, market

EVERY = every_feature(7)
STREAMS = (market(seed=21, bars=240), jumps(bars=240))
_CUT = st.tuples(st.integers(0, 240), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(_CUT, max_size=12))
def test_matrix_and_state_do_not_depend_on_the_cuts(bars, cuts) -> None:  # type: ignore[no-untyped-def]
    whole = FeaturePipeline(EVERY)
    want = whole.update(bars)
    parts = FeaturePipeline(EVERY)
    matrix, ages, at = b"", b"", 0
    for end, restore in [*sorted(cuts), (len(bars), False)]:
        features = parts.update(bars[at : min(end, len(bars))])
        matrix += features.matrix.tobytes()
        ages += features.bars_in_session.tobytes()
        at = min(end, len(bars))
        if restore:
            parts = FeaturePipeline.restore(EVERY, parts.snapshot())
    assert matrix == want.matrix.tobytes()
    assert ages == want.bars_in_session.tobytes()
    assert parts.digest() == whole.digest()


def test_bar_by_bar_equals_all_at_once() -> None:
    for bars in STREAMS:
        whole, single = FeaturePipeline(EVERY), FeaturePipeline(EVERY)
        rows = [single.update(bars[i : i + 1]).matrix.tobytes() for i in range(len(bars))]
        assert b"".join(rows) == whole.update(bars).matrix.tobytes()
        assert single.digest() == whole.digest()
