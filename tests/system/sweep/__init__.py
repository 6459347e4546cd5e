"""Every field of every request wrong in every way, at a plain Open vSwitch bridge and at a logical switch.

    layout      what a message is made of, and every way in which that can be wrong
    pieces      matches, actions, instructions, buckets and bands, field by field
    requests    every request a controller can send, laid out, with what to ask after it and how to undo it
    asking      many messages at both switches, pipelined, and answers in a form in which they can be compared
    deviations  where the answers differ on purpose, with the line of the README that says so
"""
