"""hvproxy, a network hypervisor: logical OpenFlow switches for unmodified controllers over shared physical switches.

Five words: a tenant installs *entries* in the tables of its *logical switch*; the compiler lowers them to *rules* of
*datapaths*; a *label* carries a frame from edge to edge.

    errors      what goes wrong on purpose, by who must act
    openflow    the wire: lengths proven, messages as bytes, matches and actions as values. The only importer of ryu
    ovsdb       the protocol of Open vSwitch's database: framed, checked, monitored
    model       what exists: ports, VIFs, contexts, rules, the operator's intent
    compiler    pure functions: view -> rules and groups
    trace       what a switch does with one frame, step by step
    hypervisor  the core: logical tables, sessions, datapaths, fabric. Bytes and `now` in, commands out
    document    YAML, read strictly
    config      the configuration file
    adapters    sockets, HTTP, metrics. The only importers of twisted and prometheus_client
    app         putting it together
    client      asking a running hvproxy over its API
    tables      rows of the API as tables for people
    cli         the command line

Each imports only from those above it, and tools/test checks it.
"""
