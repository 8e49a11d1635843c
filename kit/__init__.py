# SPDX-License-Identifier: MIT-0
"""Tools for safe customer data handling."""
