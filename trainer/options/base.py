"""What the options of all commands have in common."""

from dataclasses import MISSING, Field, asdict, field, fields
from typing import Any, ClassVar, Self


def by_place(default: Any = MISSING) -> Any:
    """A field that is given by its place on the command line, without a name."""
    return field(default=default, metadata={"by_place": True})


def without_effect(default: Any = MISSING) -> Any:
    """A field on which no result of a run depends."""
    return field(default=default, metadata={"changes_result": False})


class Command:
    """The options of a command; every subclass is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def checked(self) -> Self:
        """Returns the options as the command uses them.

        Raises:
            Mistake: One of them makes no sense; it is named.
        """
        return self


def defaults(command: type[Command]) -> dict[str, Any]:
    """Returns {name: value} of the options of a command that need not be given."""
    return {option.name: option.default for option in fields(command) if option.default is not MISSING}


def of_result(options: Command) -> dict[str, Any]:
    """Returns {name: value} of the options on which a run's result depends."""
    names = {option.name for option in fields(options) if option.metadata.get("changes_result", True)}
    return {name: value for name, value in asdict(options).items() if name in names}
