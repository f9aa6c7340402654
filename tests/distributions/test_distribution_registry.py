import json

import numpy as np
import pytest

from skpc.distributions import (
    DISTRIBUTIONS,
    Bernoulli,
    Categorical,
    Gaussian,
    resolve_distribution,
)


@pytest.mark.parametrize("family", [Bernoulli(), Categorical(7), Gaussian(np.float32(0.5))])
def test_configurations_survive_json(family):
    config = json.loads(json.dumps(family.to_config()))
    assert resolve_distribution(config) == family
    assert DISTRIBUTIONS[config["name"]] is type(family)


def test_names_and_objects_resolve():
    assert resolve_distribution("bernoulli") == Bernoulli()
    family = Categorical(3)
    assert resolve_distribution(family) is family


def test_unknown_names_list_what_is_known():
    with pytest.raises(ValueError, match=r"'gauss'; use one of \['bernoulli', 'categorical'"):
        resolve_distribution("gauss")


def test_missing_or_unknown_fields_are_named():
    with pytest.raises(ValueError, match=r"Categorical.*n_states"):
        resolve_distribution("categorical")
    with pytest.raises(ValueError, match=r"Gaussian.*width"):
        resolve_distribution({"name": "gaussian", "width": 1})


def test_a_class_reads_only_its_own_configurations():
    with pytest.raises(ValueError, match="names the distribution 'gaussian', but Bernoulli reads"):
        Bernoulli.from_config(Gaussian().to_config())


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="a name, a mapping or a Distribution"):
        resolve_distribution(3)
