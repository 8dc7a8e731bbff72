"""The commands that we send and the messages that a gateway sends.

Source: "CTC Connect Wireless API Startup Manual", and what was observed on real gateways where it differs.
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
    """A message of a gateway: an answer (`RTN_…`), a notification (`NOT_…`), or a type we don't know."""

    type: str
    data: object

    @property
    def is_answer(self) -> bool:
        """It answers the command that was sent last: answers carry no id and come in order."""
        return self.type.startswith(RETURN_PREFIX)

    @property
    def is_notification(self) -> bool:
        """It comes by itself, at any time after the subscription, also between a command and its answer."""
        return self.type.startswith(NOTIFICATION_PREFIX)


@dataclass(frozen=True, slots=True)
class CommandError:
    """What an `RTN_ERR` says. `attempt` names the failed command; real gateways leave it null at times."""

    attempt: str | None
    text: str

    @classmethod
    def of(cls, message: Message) -> "CommandError":
        """Reads the data of an `RTN_ERR`, whatever shape it has."""
        if not isinstance(message.data, dict):
            return cls(None, "")
        attempt, text = message.data.get("Attempt"), message.data.get("Error")
        return cls(
            attempt if isinstance(attempt, str) else None,
            text if isinstance(text, str) else "",
        )


def login_succeeded(message: Message) -> bool:
    """Whether an `RTN_LOGIN` accepts the login; only its field `Success` is certain to be there."""
    return isinstance(message.data, dict) and message.data.get("Success") is True
