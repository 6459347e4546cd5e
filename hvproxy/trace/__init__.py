"""What a switch does with one frame, step by step: OpenFlow 1.3 carried out on values, for people who want to know.

    frame       bytes as match fields and back
    edits       what can be changed in a frame
    changing    one action carried out on it
    action_set  the order of actions that were written
    switch      flow entries, groups and ports, and how they are looked up
    walk        tables, groups and outputs
    steps       what a walk tells
    compose     frames from a line of text
    compare     what two frames differ in
    lines       a trace of the HTTP API as text

Pure; knows neither logical switches nor the fabric, and nothing of hvproxy's is decided by it.
"""
