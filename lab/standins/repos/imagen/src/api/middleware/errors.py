import traceback

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from src.api.middleware.logging import ctx_logger, request_id_var


def create_error_response(status_code, message, error_code=None, details=None):
    error = {"code": error_code or f"ERR_{status_code}", "message": message}
    error |= {"request_id": request_id_var.get()} | ({"details": details} if details else {})
    return JSONResponse({"error": error}, status_code)


async def _refused(_, error):
    return create_error_response(error.status_code, str(error.detail))


async def _invalid(_, error):
    fields = [{"field": ".".join(map(str, one["loc"])), "is": one["msg"]} for one in error.errors()]
    return create_error_response(422, "invalid", "VALIDATION_ERROR", {"errors": fields})


async def _unexpected(_, error):
    ctx_logger.error("unexpected", traceback="".join(traceback.format_exception(error)))
    return create_error_response(500, "internal error", "INTERNAL_ERROR")


def register_exception_handlers(app):
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
