"""Texts in messages, which protobuf decodes as late as they are read."""

from google.protobuf.message import Message


def texts_are_valid(message: Message) -> bool:
    """Tell whether all texts in a message are UTF-8; protobuf finds that out when they are read."""
    try:
        for descriptor, value in message.ListFields():
            parts = value if descriptor.is_repeated else [value]
            if descriptor.message_type is not None:
                if not all(map(texts_are_valid, parts)):
                    return False
            # What is not UTF-8 comes as bytes, or not at all.
            elif descriptor.type == descriptor.TYPE_STRING and not all(
                isinstance(part, str) for part in parts
            ):
                return False
    except UnicodeDecodeError:
        return False
    return True
