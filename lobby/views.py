"""The lobby's pages: Django's own views for accounts, and the list of all users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import CreateView, TemplateView

from whosonline import directory
from whosonline.conf import get_settings

from .forms import SignUpForm
from .rows import count_and_rows

PAGE = 100
"""Users on one page of the list."""


@method_decorator([sensitive_post_parameters("password1", "password2"), never_cache], name="dispatch")
class SignUp(CreateView):
    """Makes an account, and logs it in."""

    form_class = SignUpForm
    template_name = "registration/sign_up.html"
    success_url = reverse_lazy("list")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return redirect("list")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        login(self.request, self.object, backend="django.contrib.auth.backends.ModelBackend")
        return response


class LogOut(LogoutView):
    """Logs out by POST; a GET shows the button that does."""

    http_method_names = ["get", "post", "head", "options"]
    template_name = "registration/log_out.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect("log_in")
        return self.render_to_response({})


# Never cached: after a log-out the browser's Back must not show the list.
@method_decorator(never_cache, name="dispatch")
class UserList(LoginRequiredMixin, TemplateView):
    """A page of all users, by name key: ``?after=KEY`` or ``?before=KEY``, never by number."""

    template_name = "lobby/list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        users = self._users()
        if not users:  # who looks at the list is in it: only an address beyond its ends has nobody
            return redirect("list")
        first, last = directory.name_key(users[0]), directory.name_key(users[-1])
        before = directory.page_before(first, limit=1)
        has_next = bool(directory.page(after=last, limit=1))
        count, rows = count_and_rows(users, request.user)
        context = {
            "rows": rows,
            "count": count,
            "first": first,
            "last": last,
            "has_previous": bool(before),
            "has_next": has_next,
            # The part of the list that this page stands for, and watches: from where the one before it
            # ends, so that whoever signs up is in exactly one.
            "after": directory.name_key(before[0]) if before else None,
            "until": last if has_next else None,
        }
        return self.render_to_response(self.get_context_data(**context))

    def _users(self) -> list[Any]:
        # What the page shows it also watches.
        limit = min(PAGE, get_settings().policy.watched_users)
        if before := self._key("before"):
            return directory.page_before(before, limit)
        return directory.page(self._key("after"), limit=limit)

    def _key(self, parameter: str) -> str:
        # No name holds a NUL, and PostgreSQL refuses to compare with one.
        return self.request.GET.get(parameter, "").replace("\0", "")
