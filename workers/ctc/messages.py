"""The commands to a gateway and the messages from it.

Source: "CTC Connect Wireless API Startup Manual", and observations of real gateways where they differ.
"""

from dataclasses import dataclass

POST_LOGIN = "POST_LOGIN"
POST_SUB_CHANGES = "POST_SUB_CHANGES"
POST_UNSUB_CHANGES = "POST_UNSUB_CHANGES"

RTN_LOGIN = "RTN_LOGIN"
RTN_ERR = "RTN_ERR"

RETURN_PREFIX = "RTN_"
NOTIFICATION_PREFIX = "NOT_"


@dataclass(frozen=True, slots=True)
class Message:
    """A message from a gateway: a response (`RTN_…`), a notification (`NOT_…`), or of an unknown type."""

    type: str
    data: object

    @property
    def is_answer(self) -> bool:
        """Whether it responds to the last command: responses carry no id and come in order."""
        return self.type.startswith(RETURN_PREFIX)

    @property
    def is_notification(self) -> bool:
        """Whether it is unsolicited: it may come at any time once subscribed, even before a response."""
        return self.type.startswith(NOTIFICATION_PREFIX)


@dataclass(frozen=True, slots=True)
class CommandError:
    """The content of an `RTN_ERR`. `attempt` names the failed command; real gateways may leave it null."""

    attempt: str | None
    text: str

    @classmethod
    def of(cls, message: Message) -> "CommandError":
        """Reads the data of an `RTN_ERR` of any shape."""
        if not isinstance(message.data, dict):
            return cls(None, "")
        attempt, text = message.data.get("Attempt"), message.data.get("Error")
        return cls(
            attempt if isinstance(attempt, str) else None,
            text if isinstance(text, str) else "",
        )


def login_succeeded(message: Message) -> bool:
    """Whether an `RTN_LOGIN` accepts the login; only its field `Success` is always present."""
    return isinstance(message.data, dict) and message.data.get("Success") is True
