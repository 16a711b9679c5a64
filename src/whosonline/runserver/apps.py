from django.apps import AppConfig


class RunserverConfig(AppConfig):
    name = "whosonline.runserver"
    label = "whosonline_runserver"
