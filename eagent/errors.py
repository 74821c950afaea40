"""The tree of errors. Each message is one line for a person: what is wrong, where, and what would be right."""


class EagentError(Exception):
    """Anything eagent refuses or cannot do. `str()` of it is fit to be shown to an operator."""


class ConfigError(EagentError):
    """A configuration file or option that cannot be used."""


class InputError(EagentError):
    """An argument, a trace or a request that cannot be used."""


class NotFoundError(InputError):
    """A device, host or mesh that there is none of here."""


class DriverError(EagentError):
    """The driver or its library is missing, or a call to it failed."""


class RingError(DriverError):
    """The sample ring can't be made where its readers look for it: no room, as a rule."""


class RefusedError(EagentError):
    """The request was understood and will not be carried out: it would break a promise, or the privilege is missing."""


class UnavailableError(EagentError):
    """The process that should answer is not there, or is there twice."""


class ProtocolError(EagentError):
    """A message that is not of the agreed form or version."""
