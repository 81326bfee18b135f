"""How a stand-in says no."""


class Refused(Exception):
    """A request that is answered with an error and changes nothing.

    `code` is the vendor's message code, or one of ours with the customer prefix `ZSANDBOX/`, or
    empty where the vendor has none; `target` names the offending property, in the ERP as
    `to_X(position)/Property`; `retry_after_s` becomes the Retry-After header.
    """

    def __init__(
        self, status: int, code: str, text: str, target: str = "", *, retry_after_s: int = 0
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.target = status, code, text, target
        self.retry_after_s = retry_after_s
