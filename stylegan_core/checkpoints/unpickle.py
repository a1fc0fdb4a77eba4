"""A pickle reader that executes nothing.

Python's own unpickler imports and calls whatever a file names. This one only parses (with the standard library's
opcode tables) and runs a small stack machine over plain values: a global is a name, a class instance is a `Record` of
that name with its state, and of the functions a checkpoint calls (rebuilding tensors and arrays) there are versions of
our own in `rebuild.py`, found by exact name. Any other name ends the reading with that name in the error."""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from stylegan_core.errors import CheckpointError, UnsafePickleError

MAX_OPCODES = 150_000  # the largest StyleGAN pickles have some twenty thousand


@dataclass(frozen=True)
class Global:
    """A name `module.attribute` that a pickle refers to; it is never imported."""

    name: str


@dataclass(eq=False)
class Record:
    """An instance of a foreign class: its name, and what it was made and filled with."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


Rebuild = Callable[..., Any]
_MARK = object()
_SCALARS = (str, int, float, bytes, type(None))
_CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINBYTES", "BINBYTES8"),
    "SHORT_BINBYTES",
)


def read_pickle(
    data: bytes | BytesIO,
    functions: Mapping[str, Rebuild],
    classes: frozenset[str],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the value of one pickle, read from the start of `data` (a stream is left behind its end).

    `functions` are what REDUCE may call, by the name in the pickle; `classes` become `Record`s, or stay `Global`s
    where they are only mentioned. `persistent` resolves persistent ids, which are refused without it."""
    stream = BytesIO(data) if isinstance(data, bytes) else data
    machine = _Machine(functions, classes, persistent)
    try:
        for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPCODES:
                raise UnsafePickleError(
                    f"the pickle has more than {MAX_OPCODES} opcodes; no checkpoint needs that many"
                )
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, arg)
    except (UnsafePickleError, CheckpointError):
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, AttributeError) as error:
        text = str(error)[:120]
        raise CheckpointError(f"the pickle is damaged or truncated ({type(error).__name__}: {text})") from None
    raise CheckpointError("the pickle is truncated")


class _Machine:
    """The pickle stack machine over plain values, Globals and Records."""

    def __init__(
        self, functions: Mapping[str, Rebuild], classes: frozenset[str], persistent: Callable[[Any], Any] | None
    ) -> None:
        self.functions, self.classes, self.persistent = functions, classes, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, arg: Any) -> None:
        """Execute one opcode."""
        handler = _HANDLERS.get(name)
        if handler is None:
            raise UnsafePickleError(f"the pickle uses the opcode {name}, which no checkpoint needs")
        handler(self, arg)

    def pop(self) -> Any:
        """Return and remove the top of the stack."""
        value = self.top()
        self.stack.pop()
        return value

    def top(self) -> Any:
        """Return the top of the stack, which must not be a mark."""
        if self.stack[-1] is _MARK:
            raise ValueError("a mark where a value is expected")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        """Return and remove everything above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise ValueError("no mark on the stack")

    def find(self, module: Any, attribute: Any) -> Global:
        """Admit a global by its exact name."""
        name = f"{module}.{attribute}"
        if not isinstance(module, str) or not isinstance(attribute, str) or not self._known(name):
            raise UnsafePickleError(
                f"the pickle asks for {name[:200]!r}, which no StyleGAN checkpoint needs; nothing of it was executed"
            )
        return Global(name)

    def _known(self, name: str) -> bool:
        return name in self.functions or name in self.classes

    def make(self, function: Any, args: Any, keywords: Any = None) -> Any:
        """Make what `function(*args)` stands for: by our own function of that name, or as a record."""
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise UnsafePickleError(f"the pickle calls a {type(function).__name__}, which is no function by name")
        if keywords:
            raise UnsafePickleError(f"the pickle calls {function.name} with keywords, which no checkpoint needs")
        if function.name in self.functions:
            return self.functions[function.name](*args)
        return Record(function.name, args)


def _constant(machine: _Machine, arg: Any) -> None:
    machine.stack.append(arg)


def _bytearray(machine: _Machine, arg: Any) -> None:
    machine.stack.append(bytes(arg))


def _fresh(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, arg: machine.stack.append(make())


def _short_tuple(size: int) -> Callable[[_Machine, Any], None]:
    def handler(machine: _Machine, arg: Any) -> None:
        items = [machine.pop() for _ in range(size)]
        machine.stack.append(tuple(reversed(items)))

    return handler


def _put(machine: _Machine, arg: Any) -> None:
    machine.memo[int(arg)] = machine.top()


def _memoize(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _get(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.memo[int(arg)])


def _nothing(machine: _Machine, arg: Any) -> None:
    """Skip an opcode that carries no value."""


def _pop(machine: _Machine, arg: Any) -> None:
    machine.stack.pop()


def _pop_mark(machine: _Machine, arg: Any) -> None:
    machine.pop_to_mark()


def _dup(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.top())


def _tuple(machine: _Machine, arg: Any) -> None:
    machine.stack.append(tuple(machine.pop_to_mark()))


def _list(machine: _Machine, arg: Any) -> None:
    machine.stack.append(machine.pop_to_mark())


def _dict(machine: _Machine, arg: Any) -> None:
    items = machine.pop_to_mark()
    machine.stack.append({})
    _fill(machine.top(), items)


def _frozenset(machine: _Machine, arg: Any) -> None:
    items = machine.pop_to_mark()
    machine.stack.append(frozenset(_plain(item) for item in items))


def _add_items(machine: _Machine, arg: Any) -> None:
    items = machine.pop_to_mark()
    _expect(machine.top(), set).update(_plain(item) for item in items)


def _append(machine: _Machine, arg: Any) -> None:
    item = machine.pop()
    _expect(machine.top(), list).append(item)


def _appends(machine: _Machine, arg: Any) -> None:
    items = machine.pop_to_mark()
    _expect(machine.top(), list).extend(items)


def _set_item(machine: _Machine, arg: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _fill(machine.top(), [key, value])


def _set_items(machine: _Machine, arg: Any) -> None:
    items = machine.pop_to_mark()
    _fill(machine.top(), items)


def _global(machine: _Machine, arg: Any) -> None:
    module, _, attribute = arg.partition(" ")
    machine.stack.append(machine.find(module, attribute))


def _stack_global(machine: _Machine, arg: Any) -> None:
    attribute, module = machine.pop(), machine.pop()
    machine.stack.append(machine.find(module, attribute))


def _reduce(machine: _Machine, arg: Any) -> None:
    args, function = machine.pop(), machine.pop()
    machine.stack.append(machine.make(function, args))


def _new_object_keywords(machine: _Machine, arg: Any) -> None:
    keywords, args, function = machine.pop(), machine.pop(), machine.pop()
    machine.stack.append(machine.make(function, args, keywords))


def _object(machine: _Machine, arg: Any) -> None:
    function, *args = machine.pop_to_mark()
    machine.stack.append(machine.make(function, tuple(args)))


def _instance(machine: _Machine, arg: Any) -> None:
    module, _, attribute = arg.partition(" ")
    function = machine.find(module, attribute)
    machine.stack.append(machine.make(function, tuple(machine.pop_to_mark())))


def _build(machine: _Machine, arg: Any) -> None:
    state = machine.pop()
    target = machine.top()
    if isinstance(target, Record):
        target.state = state
    elif hasattr(target, "set_pickle_state"):
        target.set_pickle_state(state)
    elif not isinstance(target, dict):
        raise UnsafePickleError(f"the pickle sets the state of a {type(target).__name__}, which no checkpoint needs")


def _persistent(machine: _Machine, arg: Any) -> None:
    key = machine.pop() if arg is None else arg
    if machine.persistent is None:
        raise UnsafePickleError("the pickle uses persistent ids, which only torch.save files have")
    machine.stack.append(machine.persistent(key))


def _fill(target: Any, pairs: list[Any]) -> None:
    """Set keys and values, given in turn, in a dict or a record."""
    items = target.items if isinstance(target, Record) else _expect(target, dict)
    if len(pairs) % 2:
        raise ValueError("a key without a value")
    for i in range(0, len(pairs), 2):
        items[_plain(pairs[i])] = pairs[i + 1]


def _plain(key: Any) -> Any:
    # Only scalars: hashing a tuple nested a hundred thousand deep would overflow the C stack.
    if not isinstance(key, _SCALARS):
        raise UnsafePickleError(f"the pickle uses a {type(key).__name__} as a key, which no checkpoint needs")
    return key


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} is expected")
    return value


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_CONSTANTS, _constant),
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "MEMOIZE": _memoize,
    "BYTEARRAY8": _bytearray,
    "NONE": _fresh(lambda: None),
    "NEWTRUE": _fresh(lambda: True),
    "NEWFALSE": _fresh(lambda: False),
    "EMPTY_LIST": _fresh(list),
    "EMPTY_DICT": _fresh(dict),
    "EMPTY_TUPLE": _fresh(tuple),
    "EMPTY_SET": _fresh(set),
    "MARK": _fresh(lambda: _MARK),
    "TUPLE1": _short_tuple(1),
    "TUPLE2": _short_tuple(2),
    "TUPLE3": _short_tuple(3),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _dup,
    "TUPLE": _tuple,
    "LIST": _list,
    "DICT": _dict,
    "FROZENSET": _frozenset,
    "ADDITEMS": _add_items,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_object_keywords,
    "OBJ": _object,
    "INST": _instance,
    "BUILD": _build,
    "PERSID": _persistent,
    "BINPERSID": _persistent,
}
