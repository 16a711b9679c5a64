import os

from whosonline.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lobby.settings")

application = get_asgi_application()
