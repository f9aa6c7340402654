"""How a circuit is computed: each backend fulfils the one contract of `base.py`.

`numba_cpu` is the default; `log_domain` is the slow float64 path that damaged rows take.
Nothing here learns, draws structures, or knows an estimator.
"""

from .base import Backend, Mixing, TopDown
from .renormalise import log_partition, log_weight_gradient, renormalise

__all__ = ["Backend", "Mixing", "TopDown", "log_partition", "log_weight_gradient", "renormalise"]
