# SPDX-License-Identifier: MIT-0
"""Tools for handling a shop's customer data safely. This page is the map; it imports nothing.

Each tool is one file that needs no other: ``from kit import scan``, or ``kit copy scan --into DIR``.

inventory   every field held, why, for how long, who may see it, how it is protected
generate    a made-up shop of any size, the same for the same seed
dirty       its untidy twin, with an answer key
tables      named tables to CSV, Parquet, SQLite and XLSX, and back
sources     any table file as plain text, losing nothing
pos         which till wrote this export, and what its columns mean
convert     text to amounts, times and contacts, vectorised; doubtful cells refused
emit        the made-up shop as a till would export it
scan        personal and card data in files, masked, with what to do

Where they meet: ``shop``. What people touch: ``cli`` (the command `kit`), ``tour``, ``lesson``,
``workspace``, ``lab``, ``doctor``, ``copying``.
"""
