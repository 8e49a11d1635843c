# SPDX-License-Identifier: MIT-0
"""Tools for handling a shop's customer data safely. This page is the map; it imports nothing.

Each tool is one file that needs no other: ``from kit import scan``, or
``kit copy scan --into DIR``.

inventory   every field held, why, for how long, who may see it, how it is protected

generate    a made-up shop of any size, the same for the same seed; its tables come from
people      who works there and who buys
trade       what is sold, paid, returned and delivered
dirty       its untidy twin, with an answer key
emit        the made-up shop as a till would export it
tables      named tables to CSV, Parquet and SQLite, and back
workbook    named tables to one XLSX file, and back

sources     every table in files, folders and zip files, as plain text
delimited   reads CSV and its many dialects for it
sheets      reads XLSX for it, hidden sheets and comments too
unpack      reads SQLite, Parquet, JSON and notebooks for it

pos         which till wrote this export, and what its columns mean
intake      its rows, none lost, none doubled, sums checked
convert     text to amounts, times and contacts, vectorised; doubtful cells refused

scan        personal and card data in any table, masked, with what to do
cards       what a card number, a security code and track data look like
personal    what e-mails, phones, birthdays and other personal data look like

Where they meet: ``shop``. What people touch: ``cli`` (the command `kit`), ``tour``, ``lesson``,
``workspace``, ``lab``, ``doctor``, ``show``, ``copying``.
"""
