"""Exactly known stochastic processes: HMMs and GHMMs, by name or by their matrices, and sequences drawn from them."""

from ._binary_processes import coin as coin
from ._binary_processes import even_ones as even_ones
from ._binary_processes import no_consecutive_ones as no_consecutive_ones
from ._binary_processes import zero_one_random as zero_one_random
from ._data_generator import DataGenerator as DataGenerator
from ._entropy_rate import entropy_rate as entropy_rate
from ._estimate import Estimate as Estimate
from ._from_matrices import from_matrices as from_matrices
from ._from_matrices import from_npz as from_npz
from ._generative_process import GenerativeProcess as GenerativeProcess
from ._ghmm import GHMM as GHMM
from ._hmm import HMM as HMM
from ._loss_optimum import LossOptimum as LossOptimum
from ._loss_optimum import loss_optimum as loss_optimum
from ._myopic_entropy import myopic_entropies as myopic_entropies
from ._nonergodic import nonergodic as nonergodic
from ._nonunifilar_processes import mess3 as mess3
from ._nonunifilar_processes import sns as sns
from ._quantum_processes import fanizza as fanizza
from ._quantum_processes import post_quantum as post_quantum
from ._quantum_processes import tom_quantum as tom_quantum
from ._rrxor import leaky_rrxor as leaky_rrxor
from ._rrxor import rrxor as rrxor
from ._toy_languages import days_of_week as days_of_week
from ._toy_languages import matching_parens as matching_parens
from ._toy_languages import mr_name as mr_name
