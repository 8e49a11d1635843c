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

encrypt     values and whole columns, each locked to its row
kinds       numbers, dates and moments come back as they were
frames      the columns of a table that the inventory protects, in one call
blind_index  find a sealed e-mail without opening all of them
pseudonyms  stand-ins for customers, others for each recipient
keys        one primary key per purpose, old ones kept while needed
keyfile     keeps them in one file that only the passphrase opens
passphrase  where it comes from, and what a good one is
recovery    all keys once more, for a key on paper
rotate      moves sealed columns to a new key
agefile     whole files, for people with an age key or a passphrase

forms       what is asked, and the notice above it, as data; what does not fit is named
tidy        one answer or a whole column, tidied; card numbers and health words refused
collect     a sign-up taken with proof, or refused with every reason
consent     who agreed to what, at any past moment; browsers that say no
optin       a link that confirms an address, once
minimise    a birthday becomes a month, an address a region
fold        an export split into the shop's tables, with ids that stay the same

settings    who works in the shop, in which role, and where its data lies
schema      the tables of a shop, with no place for what is not written down
store       opens the database, SQLite or PostgreSQL; all of a change or nothing
rows        adds, finds and changes rows; a colleague's edit is not lost
roles       what each role may see, masked for the screen, refused by the database
grants      the same in PostgreSQL, by its own rights
history     who changed what, kept as tokens
trash       a deleted customer comes back, with points and purchases
retention   what has to go when its time is up; it counts by
periods     what a period counts from, and when it ends
erasure     one customer, for good
ledger      who was erased, without knowing who it was

audit       who saw and changed whose data, in a chain
tamper      what was done to that chain
watch       who looked at customers in an unusual way

snapshot    a copy of the live database, whole at one moment
pack        all of it squeezed, or only what changed
archive     sealed for two people
manifest    a signed list, in which whatever is missing or forged is named
places      a folder, a USB disk, a bucket, a server; read back after each write
sftp        servers that are known, so that no stranger gets the password
beside      keys, settings and erasures, which go along
keeping     which of them stay, and when an erased customer has left the last
swap        a restored database in the place of the old one, in one step
backup_state  what was seen of them, so that one that vanishes is missed
rescue      one customer from a restored copy, with all that hung on them
certificate  one signed page that says what a drill proved
pgdump      the same for PostgreSQL, with nothing hidden left out

law         every rule as a row with its source, day read and confidence
clocks      deadlines, counted as their rule says
binding     a shop held against a legal test: yes, no or unknown
law_check   what is wrong in a folder of such rows
law_review  an old row read again, with a trace of who did

request_book  what customers asked for, in lines that nobody can change
request_state  where a request stands, what comes next and by when
identity    who asks, without a passport
package     all that is held on one customer, and nothing about others
package_page  as a page that anybody can read and nothing runs in
outgoing    every byte searched before it leaves
vendors     everybody told who has the data, too
incident    a theft or leak, written down in one file
breach      whom to tell, by when, and why not the others
breach_letters  letters in the form that a law asks for, and the memo
agenda      deadlines as a file for any calendar

Where they meet: ``practice`` (made-up shops), ``files`` (exports, scans), ``vault`` (keys),
``legal`` (law); ``shop`` (a shop's folder) with ``counter``, ``imports``, ``removals``, ``rekey``;
``backup``, ``storing``, ``opening``, ``restore``, ``drill``, ``upkeep``; ``disclose``, ``grounds``,
``asking``, ``gathering``, ``answering``, ``deleting``, ``exposed``. What people touch: ``cli`` and
``cli_keys``, ``cli_shop``, ``cli_backup``, ``cli_law``, ``cli_request``, ``cli_breach`` (the
command `kit`) over ``terminal``, ``tour``, ``lesson``, ``workspace``, ``lab``, ``doctor``,
``show``, ``show_law``, ``copying``.
"""
