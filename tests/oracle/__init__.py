"""The differential oracle: one script of operations on three switches at once, and every difference told.

    operations  one step of a script, and scripts as text that can be replayed
    readable    a message in words
    frames      random frames; matches: random matches and their priorities
    ports_and_meters   what is said to those, to queues and to the switch as a whole
    script      random scripts, by features; refusals: messages that are wrong in one way each
    faults      any part of any message wrong; faulty: bursts of these
    tracking    entries that learn and that track connections
    line        a controller's session that sends many messages and sorts what comes back
    telling     what a switch says and counts, without what may always differ (times, names, order)
    deviations  what a logical switch does differently on purpose: each line is one of README's deviation table
    systems     the three: an Open vSwitch bridge, a logical switch over five of them, the emulated switch
    sessions    messages about the sessions themselves: roles, masks, Nicira's, oddities
    hosts       hosts that NORMAL learns, and frames that meters drop
    watching    bundles and flow monitors; extensions: Open vSwitch's own fields and actions;
                offers: what tables shall be able to do
    comparing   what two of them gave, held against each other
    world       starts them, empties them, runs scripts on them
    shrink      the shortest script that still fails
    command     tools/oracle
"""
