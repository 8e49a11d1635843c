# SPDX-License-Identifier: MIT-0
"""Have PostgreSQL itself keep from staff what their work does not need, and tell when it drifts.

Copy: ``kit copy grants --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

`grant` makes a group for each role of the shop, which may read, and where you say so change, some
columns of some rows. The rest is refused by the server, whatever program asks::

    see = {"cashier": {"customers": ["customer_id", "name"]}}     # role, table, columns
    rows = {("cashier", "customers"): ["accepts_email"]}          # of which one must be yes
    grants.grant(connection, tables, see, prefix="riverside_", rows=rows)
    grants.check(connection, tables, see, prefix="riverside_", rows=rows)
    []

A person gets a login of their own, in one group: ``CREATE ROLE ana LOGIN; GRANT riverside_cashier
TO ana``. Row-level security is on for every table, and forced, so that the owner of the tables
is held by rules too; one of them, ``kit_keeper``, lets that owner work on all rows. A table that
has no rule for somebody is empty for them.

Out of reach: superusers, logins with BYPASSRLS, and the files of the server. pg_dump needs a
login with BYPASSRLS; --enable-row-security must not be used, it leaves out rows and says nothing.

Source: https://www.postgresql.org/docs/current/ddl-rowsecurity.html.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import sqlalchemy as sa

PREFIX = re.compile(r"[a-z][a-z0-9_]{0,30}_")
ROLE = re.compile(r"[a-z]{1,30}")
KEEPER = "kit_keeper"
OURS = "kit_"  # what the names of our policies begin with

See: TypeAlias = Mapping[str, Mapping[str, Collection[str]]]
Rows: TypeAlias = Mapping[tuple[str, str], Collection[str]]
NOBODY: See = MappingProxyType({})


class GrantsError(Exception):
    """Base of the errors below. Messages never hold a value."""


class NotReady(GrantsError):
    """The database, the login or a name does not allow it."""


class NothingChanged(GrantsError):
    """The row is not there, or not one that the login may change."""


RELATIONS = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, o.rolname
    FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
RIGHTS = """
    SELECT c.relname, a.name, coalesce(r.rolname, 'PUBLIC'),
        x.privilege_type || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM pg_class c
    CROSS JOIN LATERAL (
        SELECT NULL AS name, c.relacl AS acl UNION ALL
        SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped
    ) a
    CROSS JOIN LATERAL aclexplode(a.acl) x
    LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND x.grantee <> c.relowner
"""
POLICIES = """
    SELECT tablename, policyname, permissive, array_to_string(roles, ', '), cmd, qual, with_check
    FROM pg_policies WHERE schemaname = current_schema()
"""
GROUPS = """
    SELECT r.rolname,
        rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb OR rolreplication
            OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),
        has_schema_privilege(r.oid, current_schema(), 'CREATE')
    FROM pg_roles r WHERE r.rolname = ANY(:groups)
"""
ABOVE = """
    WITH RECURSIVE members(oid) AS (
        SELECT oid FROM pg_roles WHERE rolname = ANY(:groups) UNION
        SELECT m.member FROM pg_auth_members m JOIN members ON m.roleid = members.oid
    )
    SELECT r.rolname FROM pg_roles r JOIN members USING (oid)
    WHERE r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, 'pg_read_all_data', 'MEMBER')
"""
LATER = """
    SELECT count(*) FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) x
    WHERE d.defaclobjtype = 'r' AND x.grantee <> d.defaclrole
        AND d.defaclnamespace IN (0, current_schema()::regnamespace)
"""


def grant(
    connection: sa.Connection,
    metadata: sa.MetaData,
    see: See,
    *,
    prefix: str,
    rows: Rows,
    change: See = NOBODY,
) -> None:
    """Make the groups of a shop and give each its rights, and no other.

    Call it again when the inventory or the tables changed.

    Args:
        connection: In a transaction, as the owner of the tables, who may make roles.
        metadata: All tables, the kit's own too.
        see: Role to table to the columns that it sees; ``roles.visible`` returns that.
        prefix: What the groups' names begin with, such as "riverside_": roles belong to the whole
            server, which may hold other shops.
        rows: Role and table to yes-or-no columns, of which one must be yes. What is not named
            here is seen in full.
        change: Role to table to the columns that it may change.

    Raises:
        NotReady: It is SQLite, the login may not do it, or a name does not fit.
    """
    rights, policies = _wanted(connection, metadata, see, prefix, rows, change)
    groups = _groups(see, change, prefix)
    everyone = ", ".join(f'"{group}"' for group in groups)
    there = {name for name, *_ in _ask(connection, GROUPS, groups)}
    schema = connection.scalar(sa.select(sa.func.current_schema()))
    steps = [f'CREATE ROLE "{group}"' for group in groups if group not in there]
    steps.append(f'GRANT USAGE ON SCHEMA "{schema}" TO {everyone}')
    for owner in sorted({group for _, group, *_ in policies.values()} - {*groups}):
        steps.append(f'GRANT {everyone} TO "{owner}"')  # else it could not take their part
    for table, policy, *_ in _ask(connection, POLICIES):
        if policy.startswith(OURS):
            steps.append(f'DROP POLICY "{policy}" ON "{table}"')
    for table in metadata.tables:
        steps.append(f'REVOKE ALL ON "{table}" FROM PUBLIC, {everyone}')
        steps.append(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
    for table, column, group, right in sorted(rights):
        steps.append(f'GRANT {right} ("{column}") ON "{table}" TO "{group}"')
    for (table, policy), (_, group, _, rule, _) in policies.items():
        steps.append(
            f'CREATE POLICY "{policy}" ON "{table}" TO "{group}" USING ({rule}) WITH CHECK ({rule})'
        )
    try:
        connection.exec_driver_sql("; ".join(steps))
    except sa.exc.ProgrammingError as error:
        code = getattr(error.orig, "sqlstate", "")
        raise NotReady(
            f"the database refused ({code}); create the tables first, then call this as their "
            "owner, a login with CREATEROLE"
        ) from None


def check(
    connection: sa.Connection,
    metadata: sa.MetaData,
    see: See,
    *,
    prefix: str,
    rows: Rows,
    change: See = NOBODY,
) -> list[str]:
    """Return a sentence for all that is not as `grant`, with the same arguments, would make it."""
    rights, policies = _wanted(connection, metadata, see, prefix, rows, change)
    groups = _groups(see, change, prefix)
    told = {
        *_tables(connection, metadata),
        *_members(connection, groups),
    }
    found = {tuple(row) for row in _ask(connection, RIGHTS)}
    for word, some in (("lacks", rights - found), ("should not have", found - rights)):
        for table, column, who, right in some:
            told.add(f"{table}: {who} {word} {right} on {column or 'all of it'}")
    rules = {(table, name): tuple(rest) for table, name, *rest in _ask(connection, POLICIES)}
    for table, policy in rules.keys() ^ policies.keys():
        is_ours = (table, policy) in policies
        told.add(f"{table}: policy {policy} {'is missing' if is_ours else 'is none of ours'}")
    for key in rules.keys() & policies.keys():
        if _bare(rules[key]) != _bare(policies[key]):
            told.add(f"{key[0]}: policy {key[1]} says something else")
    return sorted(told)


def changed(result: sa.CursorResult[Any], *, rows: int = 1) -> None:
    """Raise if an UPDATE or DELETE did not reach as many rows as it was for.

    Where a rule hides a row, PostgreSQL answers "UPDATE 0", and calls that a success.

    Raises:
        NothingChanged: Roll back and look again.
    """
    if result.rowcount != rows:
        raise NothingChanged(
            f"{result.rowcount} rows changed where {rows} should have; the rest is not there, "
            "or not yours to change"
        )


def _tables(connection: sa.Connection, metadata: sa.MetaData) -> Iterator[str]:
    left = dict(metadata.tables)
    for table, secured, forced, _ in _ask(connection, RELATIONS):
        if left.pop(table, None) is None:
            yield f"{table}: in the database, but nobody covered it; drop it, or declare it"
            continue
        if not secured:
            yield f"{table}: row-level security is off"
        if not forced:
            yield f"{table}: row-level security does not hold its owner (FORCE)"
    for table in left:
        yield f"{table}: is not in the database"
    if _ask(connection, LATER)[0][0]:
        yield "tables that are made later are given away (ALTER DEFAULT PRIVILEGES)"


def _members(connection: sa.Connection, groups: list[str]) -> Iterator[str]:
    left = set(groups)
    for group, mighty, makes in _ask(connection, GROUPS, groups):
        left.discard(group)
        if mighty:
            yield f"{group}: more than a group: it may log in, or do what only logins should"
        if makes:
            yield f"{group}: may make tables, which nobody would cover"
    for group in left:
        yield f"{group}: there is no such group"
    for (login,) in _ask(connection, ABOVE, groups):
        yield f"{login}: is in a group of the shop, and above all rules"


def _wanted(
    connection: sa.Connection,
    metadata: sa.MetaData,
    see: See,
    prefix: str,
    rows: Rows,
    change: See,
) -> tuple[set[tuple[Any, ...]], dict[tuple[str, str], tuple[Any, ...]]]:
    """Return what RIGHTS and POLICIES ought to find."""
    rights: set[tuple[Any, ...]] = set()
    policies: dict[tuple[str, str], tuple[Any, ...]] = {}
    for right, allowed in (("SELECT", see), ("UPDATE", change)):
        for role, tables in allowed.items():
            for table in tables:
                if table not in metadata.tables:
                    raise NotReady(f"{role}: {table} is none of the tables; check its name")
                rule = _rule(metadata.tables[table], rows.get((role, table)))
                group = prefix + role
                policies[table, OURS + role] = ("PERMISSIVE", group, "ALL", rule, rule)
                rights |= {(table, column, group, right) for column in tables[table]}
    for table, _, _, owner in _ask(connection, RELATIONS):
        if table in metadata.tables:
            policies[table, KEEPER] = ("PERMISSIVE", owner, "ALL", "true", "true")
    return rights, policies


def _rule(made: sa.Table, columns: Collection[str] | None) -> str:
    """Return which rows, as PostgreSQL itself would write it."""
    if columns is None:
        return "true"
    names = [f'"{name}"' for name in columns if name in made.c]
    text = " OR ".join(names) or "false"
    return f"({text})" if len(names) > 1 else text


def _bare(policy: tuple[Any, ...]) -> list[Any]:
    """Return it without the quotes, which PostgreSQL writes only where they are needed."""
    return [part and part.replace('"', "") for part in policy]


def _groups(see: See, change: See, prefix: str) -> list[str]:
    roles = sorted({*see, *change})
    if not roles or not PREFIX.fullmatch(prefix) or not all(map(ROLE.fullmatch, roles)):
        raise NotReady(
            "there must be roles, each a word of small letters, and a prefix, such as riverside_, "
            "of small letters and digits"
        )
    return [prefix + role for role in roles]


def _ask(connection: sa.Connection, query: str, groups: list[str] | None = None) -> list[Any]:
    if connection.dialect.name != "postgresql":
        raise NotReady("SQLite has no roles; open it with roles.as_role")
    return list(connection.execute(sa.text(query), {"groups": groups} if groups else {}))
