"""Training by several processes: who they are, how they agree, how gradients become one.

Only `world` knows MPI. A solver is given a `team.Team` of a `world.World`, and asks it for all that
ranks do together.
"""
