from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.imagery.labels.class_names import match_names


def test_classes_are_found_by_their_names():
    match = match_names(["road", "Water ", "cloud"], ["water", "land", "road"])
    assert match.index == (2, 0, None)
    assert (match.matched, match.missing, match.unused) == (("road", "Water "), ("cloud",), ("land",))
    assert not match.same
    assert match_names(["a", "b"], ["A", "b"]).same


def test_names_that_differ_in_case_alone_are_two_classes():
    assert match_names(["Road", "road"], ["road", "Road"]).index == (1, 0)
    assert match_names(["ROAD"], ["road", "Road"]).index == (None,)
    assert match_names(["Road", "ROAD"], ["road"]).index == (None, None)


@given(st.permutations(["water", "land", "road", "building"]))
def test_any_order_is_found(order):
    match = match_names(["water", "land", "road", "building"], order)
    assert [order[index] for index in match.index if index is not None] == list(match.names)
    assert match.same == (order == ["water", "land", "road", "building"])
