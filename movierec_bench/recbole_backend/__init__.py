"""The only place that knows RecBole's internals: its Config, its datasets, and how its models are asked for scores.

Importing it lets RecBole run on the packages that are installed, so import it before RecBole.
"""

from movierec_bench.recbole_backend import compat
from movierec_bench.settings.recbole_package import recbole_folder

recbole_folder()
compat.apply()
