"""All operations there are, in the order in which one command applies them."""

from editing.operations.base import Operation
from editing.operations.crossover import Crossover
from editing.operations.drag import Drag
from editing.operations.measures import SetExpression, SetMeasures
from editing.operations.pair import TransferFrom
from editing.operations.text import Text
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate

OPERATIONS: dict[str, type[Operation]] = {
    "transfer": Transfer,
    "transfer_from": TransferFrom,
    "text": Text,
    "crossover": Crossover,
    "truncate": Truncate,
    "expression": SetExpression,
    "set": SetMeasures,
    "drag": Drag,
}
