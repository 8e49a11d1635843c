# SPDX-License-Identifier: MIT-0
"""Show customers what you hold on them on one page that anybody can read, and nothing can run in.

Copy: ``kit copy package_page --into DIR``, or take this file as it is.
Needs: Python 3.11, jinja2. Nothing else from this kit.
Data: none.

`render` takes what there is to tell, all of it texts and lists of texts, and returns one HTML file
that needs no other and asks for none::

    {"about":      {"shop": "Corner Flowers", "request": "req-…", ...}   # see ABOUT
     "categories": [{"letter", "name", "whats", "purposes", "keeps", "sources", "recipients"}],
     "withheld":   [{"what", "why", "cite"}],
     "internal":   ["number of an address", ...],
     "taken_out":  ["a number that looks like a card's", ...],
     "sections":   [{"title", "whats": ["street", ...], "rows": [["1 Elm Street", ...], ...]}]}

There is no script, no form, no picture and no link out; a Content-Security-Policy forbids them all,
should one get in. Every text is escaped, and isolated so that right-to-left letters cannot turn
the line around. It reads on a telephone, on paper and aloud.

Source: Content Security Policy Level 3; WCAG 2.2 AA; HTML, the ``bdi`` element.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import jinja2

ABOUT = {  # what is told first, if it is there, in this order: key to words
    "request": "Your request",
    "received": "It came on",
    "asked": "You asked",
    "answered": "Answered on",
    "identity": "How we made sure it is you",
    "period": "What it covers",
    "regime": "On what ground",
    "contact": "Questions and complaints",
}

WIDEST = 6  # columns that can be read beside each other; more become cards

CSS = """
:root{color-scheme:light;--ink:#1b1b1b;--soft:#4a4a4a;--line:#c9c9c9;--band:#f3f1ec;--mark:#0b4f6c}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:#fff;font:1.0625rem/1.5 system-ui,sans-serif}
header,main,footer{max-width:52rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.25rem 0 .5rem;padding-top:.75rem;border-top:2px solid var(--line)}
h3{font-size:1.0625rem;margin:1.5rem 0 .25rem}
p,ul,dl{margin:.5rem 0}
ul{padding-left:1.25rem}
a{color:var(--mark)}
bdi{overflow-wrap:anywhere;white-space:pre-line}
nav ul{list-style:none;padding:0}
nav a{display:inline-block;padding:.25rem 0}
dl.facts{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:.1rem 1rem}
dt{color:var(--soft)}
dd{margin:0}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem;font-size:.95rem}
caption{text-align:left;color:var(--soft);padding-bottom:.25rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid var(--line)}
thead th{background:var(--band)}
.cite{color:var(--soft);font-size:.9rem}
.label{display:none;color:var(--soft)}
.label::after{content:": "}
dd ul{margin:0}
footer{color:var(--soft);padding-bottom:3rem;font-size:.95rem}
table.cards,table.cards :is(caption,tbody){display:block}
table.cards thead{position:absolute;clip-path:inset(50%);height:1px;width:1px;overflow:hidden}
table.cards tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(14rem,1fr));
border:1px solid var(--line);border-radius:.4rem;margin-bottom:.75rem;padding:.25rem 0}
table.cards td{display:block;border:0;padding:.15rem .6rem}
table.cards td.empty{display:none}
table.cards .label{display:inline}
@media (max-width:40rem){
dl.facts{display:block}
dl.facts dd{margin-bottom:.5rem}
table,caption,tbody,tr,td{display:block;width:100%}
thead{position:absolute;clip-path:inset(50%);height:1px;width:1px;overflow:hidden}
tr{border:1px solid var(--line);border-radius:.4rem;margin-bottom:.75rem;padding:.25rem 0}
td{border:0;padding:.15rem .6rem}
td.empty{display:none}
.label{display:inline}
}
@media print{
body{font-size:10.5pt}nav{display:none}h2{break-after:avoid}tr,dl.facts div{break-inside:avoid}
}
"""

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()}'"
)

TEMPLATE = """\
<!doctype html>
<html lang="{{ lang }}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>What we hold about you</title>
<style>{{ css }}</style>
</head>
<body>
<header>
<h1>What we hold about you</h1>
<p>From <bdi>{{ about.shop }}</bdi>. This page holds your personal data: keep it where only \
you can read it.</p>
{% if facts %}<dl class="facts">
{%- for words, text in facts %}
<dt>{{ words }}</dt><dd><bdi>{{ text }}</bdi></dd>
{%- endfor %}
</dl>{% endif %}
<nav aria-label="On this page"><ul>
<li><a href="#kinds">The kinds of data, why and for how long</a></li>
{%- if withheld or internal or taken_out %}
<li><a href="#not-sent">What we hold but do not send</a></li>
{%- endif %}
{%- if sections %}
<li><a href="#data">Your data</a></li>
{%- endif %}
<li><a href="#more">Where we did not look, and what you can do</a></li>
</ul></nav>
</header>
<main>
<h2 id="kinds">The kinds of data, why and for how long</h2>
{%- for one in categories %}
<h3><bdi>{{ one.name }}</bdi></h3>
<dl class="facts">
<dt>What</dt><dd><bdi>{{ one.whats | join("; ") }}</bdi></dd>
<dt>Why</dt><dd><ul>{% for why in one.purposes %}<li><bdi>{{ why }}</bdi></li>{% endfor %}</ul></dd>
<dt>How long</dt><dd><bdi>{{ one.keeps | join("; ") }}</bdi></dd>
<dt>Where from</dt><dd><bdi>{{ one.sources | join("; ") or "from you" }}</bdi></dd>
<dt>Who else has it</dt><dd><bdi>{{ one.recipients | join("; ") or "nobody" }}</bdi></dd>
</dl>
{%- else %}
<p>We hold no data about you.</p>
{%- endfor %}
{%- if withheld or internal or taken_out %}
<h2 id="not-sent">What we hold but do not send</h2>
{%- if withheld %}
<ul>
{%- for one in withheld %}
<li>We hold <strong><bdi>{{ one.what }}</bdi></strong>, and do not send it: \
<bdi>{{ one.why }}</bdi>.{% if one.cite %} <span class="cite">(<bdi>{{ one.cite }}</bdi>)</span>\
{% endif %}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- for one in taken_out %}
<p>From the texts we took out: <bdi>{{ one }}</bdi>.</p>
{%- endfor %}
{%- if internal %}
<p>For our own order we also keep, and do not send: <bdi>{{ internal | join("; ") }}</bdi>.</p>
{%- endif %}
{%- endif %}
{%- if sections %}
<h2 id="data">Your data</h2>
{%- for one in sections %}
<h3 id="s{{ loop.index }}"><bdi>{{ one.title }}</bdi></h3>
{%- if one.rows | length == 1 %}
<dl class="facts">
{%- for what, cell in one.facts %}
<dt><bdi>{{ what }}</bdi></dt><dd><bdi>{{ cell }}</bdi></dd>
{%- endfor %}
</dl>
{%- else %}
<table role="table"{% if one.whats | length > widest %} class="cards"{% endif %} \
aria-labelledby="s{{ loop.index }}">
<caption>{{ "{:,}".format(one.rows | length) }} entries</caption>
<thead role="rowgroup"><tr role="row">
{%- for what in one.whats %}<th role="columnheader" scope="col"><bdi>{{ what }}</bdi></th>\
{% endfor %}</tr></thead>
<tbody role="rowgroup">
{%- for row in one.rows %}
<tr role="row">
{%- for cell in row %}<td role="cell"{% if not cell %} class="empty"{% endif %}>\
<span class="label" aria-hidden="true">{{ one.whats[loop.index0] }}</span>\
<bdi>{{ cell }}</bdi></td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- endfor %}
{%- endif %}
<h2 id="more">Where we did not look, and what you can do</h2>
{%- for words, texts in (("We did not look into:", about.get("not_searched")),
                         ("You can:", about.get("rights"))) if texts %}
<p>{{ words }}</p>
<ul>
{%- for text in texts %}
<li><bdi>{{ text }}</bdi></li>
{%- endfor %}
</ul>
{%- endfor %}
</main>
<footer>
<p>The same data are in the folder csv and in your-data.json, for other programs. The file \
manifest.json lists every file with its SHA-256, so that you can see that none was changed.</p>
</footer>
</body>
</html>
"""


class PageError(Exception):
    """What was handed over lacks something that the page needs; the message names it."""


def render(told: Mapping[str, Any], *, lang: str = "en") -> str:
    """Return the page.

    Args:
        told: As above; texts that may hold anything.
        lang: The language of the texts, so that it is read aloud rightly.

    Raises:
        PageError: Something is missing.
    """
    sections = [
        {
            **one,
            "title": one.get("title") or str(one.get("table", "")).replace("_", " ").capitalize(),
            "facts": [
                pair
                for pair in zip(one["whats"], (one["rows"] or [[]])[0], strict=False)
                if pair[1]
            ],
        }
        for one in told.get("sections", ())
    ]
    every = {"withheld": (), "internal": (), "taken_out": (), "categories": ()}
    given = {**every, **told, "sections": sections}
    about = told.get("about", {})
    facts = [(words, about[key]) for key, words in ABOUT.items() if about.get(key)]
    try:
        return _TEMPLATE.render(**given, policy=POLICY, facts=facts, lang=lang, widest=WIDEST)
    except jinja2.UndefinedError as error:
        missing = str(error.message).rpartition("'")[0].rpartition("'")[2]  # the name of a key
    raise PageError(f"the page needs {missing}; hand it over")


_TEMPLATE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    TEMPLATE.replace("{{ css }}", CSS)  # ours, and the policy knows its hash
)
