"""What the API's views have in common: who is let in, how bodies are read and written, what an error looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import orjson
from django.core.exceptions import RequestDataTooBig
from rest_framework import status
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView as RestAPIView
from rest_framework.views import exception_handler

CODES = {
    status.HTTP_400_BAD_REQUEST: "invalid",
    status.HTTP_401_UNAUTHORIZED: "unauthenticated",
    status.HTTP_403_FORBIDDEN: "forbidden",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "too_large",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    status.HTTP_503_SERVICE_UNAVAILABLE: "unavailable",
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with a part of the request. `index` says with which event of a list."""

    field: str
    detail: str
    index: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For the answer."""
        place = {} if self.index is None else {"index": self.index}
        return place | {"field": self.field, "detail": self.detail}


class Invalid(APIException):
    """The request can't be taken as it is (400)."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0].detail)
        self.problems = problems


class TooLarge(APIException):
    """The body has more bytes than Django's DATA_UPLOAD_MAX_MEMORY_SIZE allows."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large. Send fewer events at once."


class Unavailable(APIException):
    """The events can't be stored now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The events could not be stored. Try again later."
    wait = 1.0


LONG_NUMBER = re.compile(rb"[0-9]{19}")


class BodyParser(JSONParser):
    """JSON by orjson: strict, and safe against deep nesting. Django bounds the size (DATA_UPLOAD_MAX_MEMORY_SIZE)."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        body = stream.read()
        try:
            value = orjson.loads(body)
            # orjson makes a float of an integer over 64 bits. Kept as it is, it is refused by name where the event is encoded.
            return json.loads(body) if LONG_NUMBER.search(body) else value
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None


class BodyRenderer(JSONRenderer):
    """JSON by orjson, so that the events of the journal go out byte for byte (`orjson.Fragment`)."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else orjson.dumps(data)


class APIView(RestAPIView):
    """A view of this API. Not signed in is 401; each error is an object with `error` and `detail`."""

    # The token first: its challenge makes "not signed in" 401, which sessions have no challenge for.
    authentication_classes: Sequence[type[BaseAuthentication]] = [TokenAuthentication, SessionAuthentication]
    parser_classes = [BodyParser]
    renderer_classes = [BodyRenderer]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        # REST framework takes a body without a length, as it is sent in chunks, for none.
        if "CONTENT_LENGTH" not in request.META:
            request.META["CONTENT_LENGTH"] = str(len(request.body))

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return error_response


def error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an error; None for one that is a fault of ours."""
    if isinstance(error, RequestDataTooBig):
        error = TooLarge()
    response = exception_handler(error, context)
    if response is None:
        return None
    body: dict[str, Any] = {"error": CODES.get(response.status_code, "error"), "detail": str(response.data["detail"])}
    if isinstance(error, Invalid):
        body |= {"field": error.problems[0].field, "errors": [problem.to_dict() for problem in error.problems]}
    elif isinstance(error, ParseError):
        body |= {"field": "body", "errors": [Problem("body", body["detail"]).to_dict()]}
    response.data = body
    return response
