import pytest

from simplexity.composition import rewrite, rewrite_keys

LONG = "generative_process@training_data_generator"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("training_data_generator=mess3", f"{LONG}=mess3"),
        ("validation_data_generator=rrxor", "generative_process@validation_data_generator=rrxor"),
        ("training_data_generator=mess3,rrxor", f"{LONG}=mess3,rrxor"),
        ("training_data_generator=choice(mess3, rrxor)", f"{LONG}=choice(mess3, rrxor)"),
        ("training_data_generator=null_process", f"{LONG}=null_process"),
        ("validation_data_generator=null", "~generative_process@validation_data_generator"),
        ("generative_process@validation_data_generator=null", "~generative_process@validation_data_generator"),
        ("validation=null", "~validation"),
    ],
)
def test_choices_take_hydras_form(typed, expected):
    assert rewrite([typed]) == [expected]


@pytest.mark.parametrize(
    "argument",
    [
        f"{LONG}=mess3",
        "training_data_generator.instance.x=0.1",
        "training_data_generator={instance: {x: 0.1}}",
        "training_data_generator=${validation_data_generator}",
        "training_data_generator=null",
        "~training_data_generator",
        "+training_data_generator=mess3",
        "++training_data_generator=mess3",
        "validation.every=null",
        "--multirun",
        "my_training_data_generator=mess3",
    ],
)
def test_everything_else_stays(argument):
    assert rewrite([argument]) == [argument]


def test_keys_of_a_sweepers_parameters_keep_their_order_and_values():
    parameters = {"seed": "1,2", "training_data_generator": "mess3,rrxor", "training.batch_size": "32"}
    assert list(rewrite_keys(parameters).items()) == [
        ("seed", "1,2"),
        (LONG, "mess3,rrxor"),
        ("training.batch_size", "32"),
    ]
