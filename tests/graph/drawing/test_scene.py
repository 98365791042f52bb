"""What is in the picture of a unit."""

import passed

from runner.graph.drawing.scene import scene_of


def test_a_value_that_is_called_is_named_by_what_made_it() -> None:
    scene = scene_of(passed.passing_graph(), 1)
    assert [item.text for item in scene.items][1:] == ["checkpoint", "Linear 6→3", "Softmax"]
