import os
from wsgiref.simple_server import make_server

from pyramid.config import Configurator
from pyramid.response import Response


def hello(request):
    return Response("gauge by pyramid\n")


if __name__ == "__main__":
    port = int(os.environ.get("PORT", 8000))
    with Configurator() as config:
        config.add_route("hello", "/")
        config.add_view(hello, route_name="hello")
        app = config.make_wsgi_app()
    make_server("0.0.0.0", port, app).serve_forever()
