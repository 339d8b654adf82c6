"""The fault tests run for themselves; `make chaos` has their long forms."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
sys.dont_write_bytecode = True
