from raymm.data.recipe import read_recipe
from raymm.verbs.pipeline import bundled_recipe


def test_the_bundled_recipe_is_there_and_names_two_domains():
    recipe = read_recipe(bundled_recipe())
    assert len(recipe.domains) == 2
