import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from skpc import PCDensityEstimator, load, mix
from skpc.estimators.stacking import stacking_weights
from skpc.structures import HCLT, Mixture

RNG = np.random.default_rng(0)
BINARY = (RNG.random((300, 6)) < RNG.random((2, 6))[RNG.integers(0, 2, 300)]).astype(int)
TRAIN, VALID = BINARY[:200], BINARY[200:]


def make(structure="hclt", **params):
    params = {"n_components": 3, "max_iter": 5, "random_state": 0, **params}
    return PCDensityEstimator(structure, **params)


@pytest.fixture(scope="module")
def parts():
    structures = ["hclt", "learnspn", "rat"]
    return [make(structure, dtype="float64").fit(TRAIN) for structure in structures]


def weights_of(model):
    return model.parameters_.program.read_matrix(model.circuit_.root, model.parameters_.weights)[0]


def test_density_is_the_weighted_mean(parts):
    scores = np.column_stack([part.score_samples(VALID) for part in parts])
    weights = stacking_weights(scores, np.ones(len(VALID)))
    model = mix(parts, VALID)
    np.testing.assert_allclose(weights_of(model), weights, rtol=1e-12)
    np.testing.assert_allclose(
        model.score_samples(VALID), logsumexp(scores + np.log(weights), axis=1), rtol=1e-12
    )
    cells = np.array(np.meshgrid(*[[0, 1]] * 6)).reshape(6, -1).T
    # A little is kept for values other than 0 and 1.
    assert np.exp(model.score_samples(cells)).sum() == pytest.approx(1, abs=1e-3)


def test_models_are_left_as_they_are(parts):
    before = [part.score_samples(VALID) for part in parts]
    mixed = mix(parts, VALID).set_params(warm_start=True, solver="em", tol=0, max_iter=3)
    mixed.fit(TRAIN)
    for part, scores in zip(parts, before):
        np.testing.assert_array_equal(part.score_samples(VALID), scores)


def test_it_learns_on_as_one_circuit(parts):
    mixed = mix(parts, VALID)
    before = mixed.score(TRAIN)
    mixed.set_params(warm_start=True, solver="em", alpha=0.0, tol=0.0, max_iter=3).fit(TRAIN)
    assert mixed.score(TRAIN) > before
    assert len(mixed.circuit_.root.children) == 3
    stream = mix(parts, VALID)
    assert stream.partial_fit(TRAIN[:50]).n_iter_ > parts[0].n_iter_


def test_it_is_saved_and_samples(parts, tmp_path):
    mixed = mix(parts, VALID)
    mixed.save(tmp_path / "mixed")
    again = load(tmp_path / "mixed")
    np.testing.assert_array_equal(again.score_samples(VALID), mixed.score_samples(VALID))
    assert again.offset_ == mixed.offset_
    np.testing.assert_array_equal(again.sample(50, 1), mixed.sample(50, 1))
    shares = mixed.sample(4000, 0).mean(axis=0)
    np.testing.assert_allclose(shares, VALID.mean(axis=0), atol=0.15)


def test_weight_two_is_two_rows_and_zero_none(parts):
    weight = np.r_[np.full(40, 2.0), np.zeros(60)]
    one = mix(parts, VALID, sample_weight=weight)
    other = mix(parts, np.r_[VALID[:40], VALID[:40]])
    np.testing.assert_allclose(weights_of(one), weights_of(other), rtol=1e-9)
    assert one.offset_ == pytest.approx(other.offset_)


def test_numbers_and_shrunk_covariances():
    X = load_iris().data
    parts = [make(part).fit(X[::2]) for part in (HCLT(), Mixture(2), "auto")]
    mixed = mix(parts, X[1::2])
    scores = np.column_stack([part.score_samples(X) for part in parts])
    expected = logsumexp(scores + np.log(weights_of(mixed)), axis=1)
    np.testing.assert_allclose(mixed.score_samples(X), expected, rtol=1e-6)


def test_frames_come_back_as_frames():
    frame = pd.DataFrame({"size": RNG.normal(size=90), "kind": RNG.choice(["a", "b"], 90)})
    parts = [make(part).fit(frame[:60]) for part in ("hclt", "mixture")]
    mixed = mix(parts, frame[60:])
    assert list(mixed.feature_names_in_) == ["size", "kind"]
    assert set(mixed.sample(20)["kind"]) == {"a", "b"}
    assert np.isfinite(mixed.score(frame[60:]))


def test_what_cannot_be_mixed(parts):
    with pytest.raises(ValueError, match="models is empty"):
        mix([], VALID)
    with pytest.raises(TypeError, match=r"one PCDensityEstimator; give a list"):
        mix(parts[0], VALID)
    with pytest.raises(TypeError, match=r"models\[1\] is a str"):
        mix([parts[0], "hclt"], VALID)
    with pytest.raises(NotFittedError):
        mix([parts[0], make()], VALID)
    fewer = make().fit(TRAIN[:, :5])
    with pytest.raises(ValueError, match=r"models\[1\] reads its columns in another way"):
        mix([parts[0], fewer], VALID)
    with pytest.raises(ValueError, match="on the same rows"):
        mix([parts[0], make().fit(TRAIN[:150])], VALID)
