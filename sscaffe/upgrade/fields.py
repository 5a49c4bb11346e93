"""Fields of one message put into another."""

from typing import Any

from google.protobuf.message import Message


def copy_field(message: Message, name: str, value: Any) -> None:
    """Set a field of any kind to the value of a field of the same kind in another message."""
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, str | bool | int | float):
        setattr(message, name, value)
    else:
        getattr(message, name).extend(value)
