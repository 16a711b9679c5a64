from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from whosonline.admin import log_out_everywhere

admin.site.unregister(User)


@admin.register(User)
class LobbyUserAdmin(UserAdmin):
    actions = [log_out_everywhere]
