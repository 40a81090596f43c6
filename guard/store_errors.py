"""What goes wrong between rerail and its store, each in one sentence that says what to do."""


class StoreError(Exception):
    """The store cannot do what was asked; the message is one sentence for the user."""


class NotInStore(StoreError, LookupError):
    """There is no such trace or pair, or the shortened id fits several."""
