"""OpenFlow 1.3 on the wire, and nothing of hypervision.

The way of a message from a peer: `framing` cuts the stream, `guard` (with `guard_parts` and `guard_multipart`)
proves every length in it, `channel` joins the two with HELLO and keepalive into a session. Only then is it decoded:
`messages`, `multipart`, `table_features`, `groups` and `ports` turn messages into values, `oxm` (with `oxm_fields`),
`actions` (with `action_checks`) and `instructions` do so for the nested parts and judge them. `build` makes the
messages that are sent. `xids` keeps what an answer is about, `constants` the numbers.

This package alone imports ryu. It must know no tenant, no logical switch, no datapath, and does no I/O.
"""
