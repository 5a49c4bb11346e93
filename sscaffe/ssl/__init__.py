"""From a net to the nets and solvers that make it structurally sparse."""

from sscaffe.ssl.balance import Balance, balance
from sscaffe.ssl.groups import GroupRow, describe_groups
from sscaffe.ssl.nets import KINDS, choose_groups, finetune_net, ssl_net
from sscaffe.ssl.recipe import Base, Recipe, read_base, write_recipe

__all__ = [
    "KINDS",
    "Balance",
    "Base",
    "GroupRow",
    "Recipe",
    "balance",
    "choose_groups",
    "describe_groups",
    "finetune_net",
    "read_base",
    "ssl_net",
    "write_recipe",
]
