import json

import numpy as np
import pytest

from skpc.distributions import (
    DISTRIBUTIONS,
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    DiscretisedLogistic,
    Gamma,
    Gaussian,
    LogNormal,
    NegativeBinomial,
    Poisson,
    resolve_distribution,
)


@pytest.mark.parametrize(
    "family",
    [
        Bernoulli(),
        Beta(margin=np.float32(1e-4)),
        Binomial(np.int64(12)),
        Categorical(7),
        DiscretisedLogistic(np.int32(9)),
        Gamma(np.float32(0.01)),
        Gaussian(np.float32(0.5)),
        LogNormal(np.float32(0.5)),
        NegativeBinomial(np.float32(1.5)),
        Poisson(np.float32(1e-3)),
    ],
    ids=repr,
)
def test_configurations_survive_json(family):
    config = json.loads(json.dumps(family.to_config()))
    assert resolve_distribution(config) == family
    assert DISTRIBUTIONS[config["name"]] is type(family)


def test_names_and_objects_resolve():
    for name in ("bernoulli", "beta", "gamma", "gaussian", "log_normal", "poisson"):
        assert resolve_distribution(name) == DISTRIBUTIONS[name]()
    family = Categorical(3)
    assert resolve_distribution(family) is family


def test_unknown_names_list_what_is_known():
    with pytest.raises(ValueError, match=r"'gauss'; use one of \['bernoulli', 'beta', 'binomial'"):
        resolve_distribution("gauss")


def test_missing_or_unknown_fields_are_named():
    for name, field in [
        ("categorical", "n_states"),
        ("discretised_logistic", "n_states"),
        ("binomial", "n_trials"),
        ("negative_binomial", "size"),
    ]:
        with pytest.raises(ValueError, match=rf"{DISTRIBUTIONS[name].__name__}.*{field}"):
            resolve_distribution(name)
    with pytest.raises(ValueError, match=r"Gaussian.*width"):
        resolve_distribution({"name": "gaussian", "width": 1})


def test_a_class_reads_only_its_own_configurations():
    with pytest.raises(ValueError, match="names the distribution 'gaussian', but Bernoulli reads"):
        Bernoulli.from_config(Gaussian().to_config())


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="a name, a mapping or a Distribution"):
        resolve_distribution(3)
