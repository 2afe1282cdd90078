"""The ad server. Importing it decides where compiled kernels are kept, before numba asks."""

from adserver.kernel_cache import name_kernel_cache

name_kernel_cache()
