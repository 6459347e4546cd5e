"""hvproxy is killed again and again, and nothing that it promised may be lost.

    operations  what tenants do at random: each is there wholly or not at all
    state       what a switch holds and counts, as values that can be compared
    line        a tenant's controller: sends without waiting, and knows what a barrier has confirmed
    tenant      a logical switch beside a plain bridge, which is given what must be there: the reference
    traffic     numbered frames between hosts: each must come once to each port it is for, and nowhere else
    failing_writes  hvproxy, whose store's writes fail in turn
    held_writes  hvproxy, whose store's writes wait as long as they are to
    world       the switches, hvproxy and its store, started, killed and started again
    faults      what else goes wrong: switches that are killed, links that flap, a store that fails
    trial       what is asserted around each kill
    command     tools/crash
"""
