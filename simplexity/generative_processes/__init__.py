"""Exactly known stochastic processes: HMMs and GHMMs, by name or by their matrices, and sequences drawn from them.

Example:
    >>> import simplexity as sx
    >>> process = sx.processes.mess3(0.05, 0.85)
    >>> process.num_states, process.vocab_size
    (3, 3)
    >>> round(sx.processes.entropy_rate(sx.processes.coin(0.5)).value, 4)
    0.6931
"""

from ._binary_processes import coin as coin
from ._binary_processes import even_ones as even_ones
from ._binary_processes import even_process as even_process
from ._binary_processes import golden_mean as golden_mean
from ._binary_processes import nemo as nemo
from ._binary_processes import no_consecutive_ones as no_consecutive_ones
from ._binary_processes import rip as rip
from ._binary_processes import z1r as z1r
from ._binary_processes import zero_one_random as zero_one_random
from ._components import component_posterior as component_posterior
from ._components import is_ergodic as is_ergodic
from ._coupling import chain as chain
from ._coupling import conditioned as conditioned
from ._cyclic_processes import checksum as checksum
from ._cyclic_processes import cycle as cycle
from ._data_generator import DataGenerator as DataGenerator
from ._entropy_rate import Estimate as Estimate
from ._entropy_rate import entropy_rate as entropy_rate
from ._epsilon_machine import EpsilonMachine as EpsilonMachine
from ._epsilon_machine import epsilon_machine as epsilon_machine
from ._from_matrices import from_matrices as from_matrices
from ._from_matrices import from_npz as from_npz
from ._frozen import frozen as frozen
from ._generative_process import GenerativeProcess as GenerativeProcess
from ._ghmm import GHMM as GHMM
from ._hmm import HMM as HMM
from ._initial_state import with_initial_state as with_initial_state
from ._loss_optimum import LossOptimum as LossOptimum
from ._loss_optimum import loss_optimum as loss_optimum
from ._myopic_entropy import myopic_entropies as myopic_entropies
from ._noisy import noisy as noisy
from ._nonergodic import nonergodic as nonergodic
from ._nonunifilar_processes import mess as mess
from ._nonunifilar_processes import mess3 as mess3
from ._nonunifilar_processes import sns as sns
from ._presentation import MixedStatePresentation as MixedStatePresentation
from ._presentation import mixed_state_presentation as mixed_state_presentation
from ._product import Product as Product
from ._product import inflated as inflated
from ._product import product as product
from ._quantum_processes import bloch_walk as bloch_walk
from ._quantum_processes import fanizza as fanizza
from ._quantum_processes import frdn as frdn
from ._quantum_processes import moon as moon
from ._quantum_processes import post_quantum as post_quantum
from ._quantum_processes import quantum_rrxor as quantum_rrxor
from ._quantum_processes import tom_quantum as tom_quantum
from ._rrxor import leaky_rrxor as leaky_rrxor
from ._rrxor import rrxor as rrxor
from ._toy_languages import days_of_week as days_of_week
from ._toy_languages import matching_parens as matching_parens
from ._toy_languages import mr_name as mr_name
