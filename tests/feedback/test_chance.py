import pytest

from feedback.chance import chi2_above, normal_beyond


@pytest.mark.parametrize(
    ("freedom", "critical"),
    [(1, 10.828), (2, 13.816), (3, 16.266), (9, 27.877), (19, 43.820), (30, 59.703)],
)
def test_chi_squared_is_that_of_the_tables(freedom, critical):
    assert chi2_above(critical, freedom) == pytest.approx(0.001, rel=1e-3)
    assert chi2_above(critical / 3, freedom) > 0.001 > chi2_above(critical * 3, freedom)


def test_no_freedom_and_no_distance_are_never_surprising():
    assert chi2_above(5.0, 0) == chi2_above(0.0, 4) == 1.0


def test_a_huge_distance_has_no_chance_and_no_overflow():
    assert chi2_above(1e6, 19) == 0.0


def test_one_in_twenty_lies_beyond_1_96_deviations():
    assert normal_beyond(1.959964) == normal_beyond(-1.959964) == pytest.approx(0.05, rel=1e-6)
