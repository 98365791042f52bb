"""Random programs for the graph compiler: modules of random Python, from a seed or hypothesis."""

from random_programs.forms import forms as forms
from random_programs.program import RandomProgram as RandomProgram
from random_programs.program import random_program as random_program
from random_programs.reducing import reduced as reduced
from random_programs.trying import try_program as try_program
