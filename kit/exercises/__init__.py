# SPDX-License-Identifier: MIT-0
"""What the lessons ask: one file per lesson, each with its answers, hints and replies."""
