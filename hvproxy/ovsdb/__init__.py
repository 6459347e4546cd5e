"""The Open vSwitch database protocol (RFC 7047), as its client: bytes and `now` in, bytes and rows out.

    framing     a byte stream -> the texts of single JSON objects, their size and nesting bounded
    rpc         such a text <-> a request, a notification or a reply of JSON-RPC
    values      RFC 7047's notation of columns -> plain values of the expected types
    replica     the rows that a database told by a monitor and its updates
    transact    operations that change a database, and what became of them
    session     one connection: the dialogue, the probes, what ends it
    vswitch     what is read of the database Open_vSwitch: bridges, their settings, and the VIFs on them
    tunnels     the ports of hvproxy's own that are to be there

Nothing that a database sends raises anything but errors.DatabaseError, and that ends its session. Knows no logical
switch, no OpenFlow and no socket.
"""
